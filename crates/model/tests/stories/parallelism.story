wait 1s
create 4
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
par 2
wait 3s
gone 3 Failed
wait 3s
par 4
wait 3s
par 0
wait 5s
