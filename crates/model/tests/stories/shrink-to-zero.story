wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
scale 0
wait 3s
gone 0 Failed
gone 1 Failed
wait 3s
gone 2 Failed
wait 3s
