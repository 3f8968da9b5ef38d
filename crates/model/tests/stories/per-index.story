wait 1s
create 3 perindex=1
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 1 Failed
wait 15s
phase 1 Running
wait 3s
phase 1 Failed
wait 3s
phase 0 Succeeded
wait 3s
phase 2 Succeeded
wait 5s
