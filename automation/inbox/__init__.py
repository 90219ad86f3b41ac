"""A mail inbox for the demo and for tests: an SMTP server that keeps what it is sent, and a page that shows it.

Here: `store` (messages as files), `smtp` (receiving), `pages` (showing), `service` (both). Not here:
sending on: nothing leaves this machine.
"""
