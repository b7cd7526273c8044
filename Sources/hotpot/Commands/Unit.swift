// Unit.swift: `hotpot unit [--user]`: prints a hardened systemd unit for `hotpot serve`. The board
// and the alerts that it prints too are in Monitoring.swift. Start at SystemdUnit.

import Foundation

extension Command {
  static let unit = Command(
    name: "unit", summary: "print a hardened systemd unit, a Grafana board, alert rules",
    details: """
      'hotpot install' puts units and account where systemd looks for them. Then, as root:

        systemd-sysusers && systemctl daemon-reload && systemctl enable --now hotpot

      or by hand: hotpot unit > /etc/systemd/system/hotpot.service, and
      useradd --system --home-dir /var/lib/hotpot --shell /bin/sh hotpot

      The system's node runs as the user hotpot, with its state in /var/lib/hotpot, its models in /var/lib/hotpot/models and
      its configuration in /etc/hotpot/config.json5. It reaches no network but its own machine; a node that serves others
      gets IPAddressAllow= lines for them from 'systemctl edit hotpot'. With --user it is the user's own:
      hotpot unit --user > ~/.config/systemd/user/hotpot.service, then systemctl --user enable --now hotpot.
      It may do what the user may do: a user's manager can neither mount nor take capabilities away. hotpot(1) says how a
      user namespace changes that, and what that costs.

      Prometheus reads the node's figures at /metrics; --grafana prints a board for them that Grafana imports, --alerts rules
      for Prometheus, which expect the scrape's job to be called hotpot.
      """,
    options: [
      Option("user", "for the user's own systemd, with the user's own state and configuration"),
      Option("exec", value: "FILE", "the program; default this one"),
      Option("grafana", "print a board for Grafana as JSON"),
      Option("alerts", "print alert rules for Prometheus"),
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let chosen = ["grafana", "alerts", "user", "exec"].filter { arguments.has($0) }
    if let first = chosen.first, first == "grafana" || first == "alerts" {
      guard chosen.count == 1 else {
        throw Failure(
          .usage, "'--\(first)' and '--\(chosen[1])' are two things", hint: "ask for one after the other")
      }
      if first == "grafana" {
        Console.print(jsonText: GrafanaBoard.text)
      } else {
        Console.pour(AlertRules.text)
      }
      return .ok
    }
    let program: String
    if let named = arguments.string("exec") {
      program = try Installation.absolute(named, "exec")
      guard !UserFile.isDirectory(program) else {
        throw Failure(.usage, "option '--exec': '\(program)' is a directory", hint: "name the program in it")
      }
    } else {
      do {
        program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
      } catch {
        throw Failure(
          .failed, "where this program lies cannot be told: \(error.localizedDescription)",
          hint: "'--exec FILE' names it")
      }
    }
    guard program.hasPrefix("/"),
      program.unicodeScalars.allSatisfy({ $0.value > 0x20 && !"%\"'\\".unicodeScalars.contains($0) })
    else {
      throw Failure(.usage, "'\(program)' wants to be a full path without blanks, quotes and '%'")
    }
    Console.pour(arguments.has("user") ? SystemdUnit.user(program) : SystemdUnit.system(program))
    return .ok
  }
}

enum SystemdUnit {
  /// The account of the system's node, for sysusers.d(5). It has a shell, because without one sshd
  /// runs no forced command.
  static let account = "u hotpot - \"Hotpot, a node that runs language models\" /var/lib/hotpot /bin/sh\n"

  /// The hardening of both units: the process can gain no privileges. All of it works without root.
  /// A user's manager cannot remove capabilities from the bounding set, and a unit that requests it
  /// does not start there (status 218). Nor can it mount.
  private static let hardening = """
    NoNewPrivileges=yes
    KeyringMode=private
    LockPersonality=yes
    MemoryDenyWriteExecute=yes
    ProtectHostname=yes
    RestrictNamespaces=yes
    RestrictRealtime=yes
    RestrictSUIDSGID=yes
    RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
    SystemCallArchitectures=native
    SystemCallFilter=@system-service
    SystemCallFilter=~@privileged @resources
    # Threads choose their processors.
    SystemCallFilter=sched_setaffinity sched_setscheduler
    SystemCallErrorNumber=EPERM
    UMask=0077
    """

  static func system(_ program: String) -> String {
    """
    [Unit]
    Description=Hotpot, a node that runs language models
    Documentation=man:hotpot(1) man:hotpot-config(5)
    After=network.target

    [Service]
    Type=notify
    NotifyAccess=main
    WatchdogSec=60
    ExecStart=\(program) serve --state /var/lib/hotpot
    ExecReload=kill -HUP $MAINPID
    Environment=XDG_CONFIG_HOME=/etc XDG_DATA_HOME=/var/lib
    # An account of its own, which ssh-keygen and sshd know too; 'systemd-sysusers' makes it from hotpot.conf.
    User=hotpot
    StateDirectory=hotpot
    StateDirectoryMode=0700
    # For a control socket that other users may reach: "control": { "socket": "/run/hotpot/control.sock" }.
    RuntimeDirectory=hotpot
    RuntimeDirectoryMode=0755
    Restart=on-failure
    RestartSec=5
    # SIGTERM finishes what runs.
    TimeoutStopSec=120
    KillMode=mixed

    \(hardening)
    AmbientCapabilities=
    CapabilityBoundingSet=
    PrivateTmp=yes
    PrivateMounts=yes
    ProtectSystem=strict
    ProtectHome=yes
    ProtectClock=yes
    ProtectControlGroups=yes
    ProtectKernelLogs=yes
    ProtectKernelModules=yes
    ProtectKernelTunables=yes
    ProtectProc=invisible
    RemoveIPC=yes
    IPAddressDeny=any
    IPAddressAllow=localhost
    # Graphics cards, to be read and used; nothing else of /dev.
    DevicePolicy=closed
    DeviceAllow=char-nvidia-frontend rw
    DeviceAllow=char-nvidia-uvm rw
    DeviceAllow=char-drm rw

    [Install]
    WantedBy=multi-user.target

    """
  }

  static func user(_ program: String) -> String {
    """
    [Unit]
    Description=Hotpot, a node that runs language models
    Documentation=man:hotpot(1) man:hotpot-config(5)

    [Service]
    Type=notify
    NotifyAccess=main
    WatchdogSec=60
    ExecStart=\(program) serve
    ExecReload=kill -HUP $MAINPID
    Restart=on-failure
    RestartSec=5
    # SIGTERM finishes what runs.
    TimeoutStopSec=120
    KillMode=mixed

    \(hardening)

    [Install]
    WantedBy=default.target

    """
  }
}
