wait 1s
create 2 suspend=true
wait 3s
suspend false
wait 3s
