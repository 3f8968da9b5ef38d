wait 1s
create 3
wait 3s
phase 0 Running
phase 1 Running
phase 2 Running
wait 3s
phase 1 Succeeded
wait 3s
suspend true
wait 3s
gone 0 Failed
gone 2 Failed
wait 3s
suspend false
wait 5s
