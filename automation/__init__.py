"""n8n with its workflows, and a local mail inbox: how people are asked. Talks to the service by HTTP alone."""
