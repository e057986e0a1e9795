#!/bin/bash
# Idle (0) unless there are players: one line in /tmp/players for each.
[ ! -s /tmp/players ]
