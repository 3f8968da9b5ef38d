wait 1s
create 4
wait 3s
phase 3 Running
wait 3s
phase 3 Succeeded
wait 3s
scale 3
wait 3s
scale 4
wait 3s
