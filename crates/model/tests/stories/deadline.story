wait 1s
create 2
wait 3s
phase 0 Running
phase 1 Running
wait 3s
deadline 10
wait 10s
gone 0 Failed
gone 1 Failed
wait 5s
