#!/usr/bin/env bash
# Every test and benchmark that an NVIDIA GPU is for, most valuable first, in less than ten minutes.
#
#     benchmarks/gpu_all.sh [--dry] [--only "NAME ..."] [FOLDER]
#
# Every part has a time limit of its own, and what fails does not stop the rest. FOLDER (by itself
# benchmarks/results/<name of the GPU>) gets NAME.json, NAME.md and NAME.log of every part, and summary.md.
# --dry tries all of it in tiny sizes on the processor. PYTHON names the Python that has torch and the requirements;
# TOTAL_SECONDS is the time for everything. The exit status is 1 when a part failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
shopt -s nullglob

PYTHON=${PYTHON:-python3}
TOTAL_SECONDS=${TOTAL_SECONDS:-590}
dry=0 only="" folder=""
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) sed -n '2,/^set /s/^# \{0,1\}//p' "$0" && exit 0 ;;
    --dry) dry=1 ;;
    --only) only=" $2 " && shift ;;
    -*) echo "gpu_all.sh: $1 is unknown; see --help" >&2 && exit 2 ;;
    *) folder=$1 ;;
    esac
    shift
done

if [ "$dry" = 1 ]; then
    device=cpu name=dry gpus=0
else
    device=cuda
    name=$("$PYTHON" -c 'import torch; print(torch.cuda.get_device_name().replace(" ", "_"))' 2>/dev/null) || {
        echo "gpu_all.sh: $PYTHON finds no CUDA GPU; --dry tries everything on the processor" >&2 && exit 2
    }
    gpus=$("$PYTHON" -c 'import torch; print(torch.cuda.device_count())')
fi
folder=${folder:-benchmarks/results/$name}
mkdir -p "$folder"
printf '| part | result | seconds |\n| --- | --- | ---: |\n' >"$folder/summary.md"
failed=0

note() { # NAME RESULT SECONDS
    printf '| %s | %s | %s |\n' "$@" >>"$folder/summary.md"
    printf '%-16s %-14s %4s s\n' "$@"
}

part() { # NAME LIMIT COMMAND ...
    local part=$1 limit=$2 left=$((TOTAL_SECONDS - SECONDS)) start=$SECONDS status
    shift 2
    case $only in "" | *" $part "*) ;; *) return ;; esac
    [ "$left" -ge 1 ] || { note "$part" "no time left" 0 && failed=1 && return; }
    timeout --kill-after=5 $((limit < left ? limit : left)) "$@" >"$folder/$part.log" 2>&1
    status=$?
    case $status in
    0) note "$part" passed $((SECONDS - start)) && return ;;
    124 | 137) note "$part" "out of time" $((SECONDS - start)) ;;
    *) note "$part" "failed ($status)" $((SECONDS - start)) && tail -n 3 "$folder/$part.log" >&2 ;;
    esac
    failed=1
}

bench() { # NAME LIMIT SCRIPT ARGUMENTS ARGUMENTS_OF_A_DRY_RUN
    local arguments=$4
    [ "$dry" = 0 ] || arguments=$5
    # shellcheck disable=SC2086  # words
    part "$1" "$2" "$PYTHON" "benchmarks/$3" $arguments --device $device \
        --json "$folder/$1.json" --markdown "$folder/$1.md"
}

tests=(tests/kernels tests/realtime/test_optimize.py)  # those with tests that skip without a GPU
[ "$dry" = 0 ] || tests+=(--collect-only)

part tests 120 "$PYTHON" -m pytest -q "${tests[@]}"
if [ -f benchmarks/kernels.py ]; then
    amount=(--frames 16)
    [ "$dry" = 0 ] || amount=(--frames 1 --repeats 1)
    part kernels 120 "$PYTHON" benchmarks/kernels.py "${amount[@]}" --device $device --markdown "$folder/kernels.md"
fi
bench speed 90 speed.py "--frames 16 --rounds 3" \
    "--frames 1 --rounds 1 --input 48x32 --outputs 96x64 --patch-px 64 --only pairwise"
bench wan_speed 180 wan_speed.py \
    "--width 1536 --blocks 30 --px 512 --frames 17 --rounds 1 --outputs 2560x1440 3840x2160" \
    "--width 128 --blocks 1 --px 64 --frames 1 --rounds 1 --outputs 96x64"
bench memory 70 memory.py "--parts size --frames 8" \
    "--outputs 96x64 --frames 1 --lengths 4 8 --length-output 64x64"
bench scaling 60 scaling.py "--side 1024 --doublings 3 --frames 8 --rounds 2" "--side 64 --frames 1 --rounds 1 --patch-px 32"
bench realtime 60 realtime.py "--dtype float16 --frames 30" \
    "examples/sample.mp4 --size 32 40 --frames 1 --default-frames 1"
bench real_size 60 real_size.py "--px 512 --frames 17" "--width 128 --px 64 --frames 1"
bench attention 60 attention.py "--width 1536 --blocks 10 --px 512 --frames 77 --rounds 1" \
    "--px 64 --frames 5 --blocks 1 --rounds 1"
[ "$dry" = 1 ] || bench compiled 90 speed.py "--parts options --frames 16 --rounds 3 --compiled" ""
if [ -f benchmarks/distributed.py ] && { [ "$gpus" -gt 1 ] || [ "$dry" = 1 ]; }; then
    bench distributed 120 distributed.py "examples/sample.mp4 --processes $gpus" \
        "examples/sample.mp4 --frames 1 --scale 1 --rounds 1 --processes 2"
fi
echo "Results are in $folder."
exit "$failed"
