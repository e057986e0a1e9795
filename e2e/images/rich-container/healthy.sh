#!/bin/bash
# Healthy (0) while the gate process runs.
[ "$(ps -ef | grep gate.sh | grep -v grep | wc -l)" = 1 ]
