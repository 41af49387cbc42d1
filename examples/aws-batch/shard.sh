#!/bin/bash
# shard.sh SHARDS SCENE --labels FILE -o OUT.gpkg [other options of bimors classify]
set -euo pipefail
shards=$1
shift
# AWS Batch counts from 0, shards from 1. With exec, signals from Batch reach bimors, which saves the finished tiles.
exec bimors classify "$@" --shard "$((AWS_BATCH_JOB_ARRAY_INDEX + 1))/$shards" --resume
