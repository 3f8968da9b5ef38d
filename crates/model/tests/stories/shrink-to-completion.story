wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 0 Succeeded
phase 1 Succeeded
wait 3s
scale 2
wait 5s
gone 2 Failed
wait 5s
