#!/bin/bash
# The gate process; it has no work here but to be there.
while :; do
    sleep 1
done
