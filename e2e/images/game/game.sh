#!/bin/sh
# Plays until it is told to stop; then it ends at once, as a game server that saved its match would.
trap 'echo "stopping"; exit 0' TERM INT
echo "game server $(hostname) is up"
while :; do
    sleep 3600 &
    wait $!
done
