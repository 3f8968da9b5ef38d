wait 1s
create 3 backofflimit=1
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 0 Failed
wait 15s
phase 0 Running
wait 3s
phase 0 Failed
wait 3s
gone 1 Failed
gone 2 Failed
wait 5s
