wait 1s
create 2
wait 3s
phase 0 Running
phase 1 Running
wait 3s
phase 0 Succeeded
wait 500ms
deljob foreground
wait 300ms
