#!/usr/bin/env bash
# slim-n8n HOME    takes out of an installed n8n what starts nothing: source maps, type declarations, what its database
#                  driver was compiled from, binaries of other systems, a browser's remote control that is switched off
set -euo pipefail
modules=$1/node_modules
# TypeScript's own declarations are data to n8n's code editor.
find "$modules" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) \
    -not -path '*/node_modules/typescript/*' -delete
find "$modules" -type f \( -path '*win32*.node' -o -path '*darwin*.node' \) -delete
rm -rf "$modules"/sqlite3/build/Release/obj* "$modules"/sqlite3/deps "$modules"/agent-browser/bin
