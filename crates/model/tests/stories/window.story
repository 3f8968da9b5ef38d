wait 1s
create 4 parallelism=2
wait 3s
phase 0 Succeeded
wait 200ms
phase 1 Succeeded
wait 3s
phase 2 Running
wait 500ms
phase 2 Failed
phase 3 Failed
wait 30s
phase 2 Succeeded
phase 3 Succeeded
wait 5s
