wait 1s
create 4
wait 3s
phase 2 Running
phase 3 Running
wait 3s
phase 3 Succeeded
wait 500ms
scale 3
wait 300ms
scale 4
wait 3s
phase 2 Succeeded
wait 5s
