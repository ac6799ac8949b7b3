#!/bin/sh
# As in NVIDIA's images: a greeting, then the command.
echo "=== a stand-in for TAO Toolkit ==="
exec "$@"
