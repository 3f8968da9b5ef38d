wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 0 Failed
wait 3s
restart
wait 5s
phase 0 Failed
wait 3s
stop
wait 2s
phase 1 Succeeded
scale 2
wait 2s
start
wait 30s
