#!/bin/bash
# submit.sh QUEUE SHARDS SCENE LABELS OUT.gpkg: the last three are paths in the containers
set -euo pipefail
if [ $# -ne 5 ]; then
    sed -n 2p "$0" >&2
    exit 2
fi
queue=$1 shards=$2 scene=$3 labels=$4 out=$5
if [ "$shards" -lt 2 ] || [ "$shards" -gt 10000 ]; then
    echo "an array of AWS Batch has 2 to 10000 jobs, not $shards" >&2
    exit 2
fi

array=$(aws batch submit-job --job-name bimors-shard --job-queue "$queue" --job-definition bimors-shard \
    --array-properties "size=$shards" \
    --parameters "shards=$shards,scene=$scene,labels=$labels,out=$out" --query jobId --output text)
merge=$(aws batch submit-job --job-name bimors-merge --job-queue "$queue" --job-definition bimors-merge \
    --depends-on "jobId=$array" \
    --parameters "out=$out,journals=$out.*-of-$shards.bimors-journal" --query jobId --output text)
echo "shards: job $array, merge: job $merge"
