#!/bin/bash
# Starts both processes and stays, whatever becomes of them.
trap 'exit 0' TERM INT
/bin/bash ./gate.sh &
/bin/bash ./data.sh &
while :; do
    sleep 3600 &
    wait $!
done
