#!/bin/bash
# submit.sh SHARDS OUT.gpkg SCENE --labels FILE [other options of bimors classify]
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n 2p "$0" >&2
    exit 2
fi
shards=$1 out=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)

array=$(sbatch --parsable --array="1-$shards" --export="ALL,SHARDS=$shards" "$here/classify.sbatch" "$@" -o "$out")
array=${array%%;*} # in a federation the cluster name follows
# The pattern is quoted: bimors expands it when the merge starts, because no journal exists yet.
merge=$(sbatch --parsable --dependency="afterok:$array" "$here/merge.sbatch" "$out" "$out.*-of-$shards.bimors-journal")
echo "shards: job $array, merge: job ${merge%%;*}"
