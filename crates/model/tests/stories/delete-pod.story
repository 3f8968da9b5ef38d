wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
delpod 1
wait 3s
gone 1 Failed
wait 20s
