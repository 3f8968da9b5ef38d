wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 0 Failed
wait 3s
wait 10s
phase 0 Failed
wait 30s
phase 1 Succeeded
phase 2 Succeeded
wait 3s
phase 0 Succeeded
wait 5s
