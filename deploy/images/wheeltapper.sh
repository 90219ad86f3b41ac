#!/bin/sh
# The command, by the Python that this image has in front of its path, with the secrets: `docker compose exec serve
# wheeltapper …` has them as well.
exec entrypoint python -m wheeltapper "$@"
