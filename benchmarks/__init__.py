"""Speed and quality, measured: every package here is one command and writes its own table."""
