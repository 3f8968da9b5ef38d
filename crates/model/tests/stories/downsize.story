wait 1s
create 4
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
phase 3 Running
wait 3s
phase 2 Succeeded
wait 3s
scale 3
wait 3s
scale 4
wait 3s
scale 6
wait 3s
