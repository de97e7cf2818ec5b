abi <abi/3.0>,
@{STATE} = /var/lib/app /srv/app
profile app /usr/{bin,sbin}/app {
  capability net_bind_service,
  network inet stream,
  /etc/app/** r,
  @{STATE}/** rwk,
  /var/log/app.log w,
  /usr/lib/** mr,
  /usr/bin/helper ix,
  /usr/bin/other Px,
  owner /home/*/.app r,
  deny /etc/app/key rw,
  audit /etc/app/audited r,
  signal (send) peer=/usr/bin/helper,
  set rlimit nofile <= 1024,
}
