// TerminalModes.swift: restores the terminal to its original state, however the program ends. `q`,
// a signal and a crash all lead here; a crash also prints where. Painting is in CursesScreen.swift.
//
// Rule: what the signal handler touches is allocated and filled before the handler is installed,
// and never freed. Why: a handler may only read memory and make system calls. So: change it through
// `arm` and `disarm`. Otherwise a crash in the middle of malloc would hang the node instead of
// ending it.
import CNCurses
import Glibc

/// Everything the handler needs.
private struct CrashState {
  var descriptor: Int32 = -1
  var saved = termios()
  var bytes: UnsafeMutablePointer<UInt8>
  var count = 0
  var frames: UnsafeMutablePointer<UnsafeMutableRawPointer?>
  var isArmed: Int32 = 0
}

private let crashCapacity = 256
private let crashFrames = 64

nonisolated(unsafe) private let crashState: UnsafeMutablePointer<CrashState> = {
  let state = UnsafeMutablePointer<CrashState>.allocate(capacity: 1)
  state.initialize(
    to: CrashState(
      bytes: .allocate(capacity: crashCapacity),
      frames: .allocate(capacity: crashFrames)))
  return state
}()

private let crashSignals = [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE]

package enum TerminalModes {
  /// Raw: every key arrives at once and unchanged, and none of our bytes is altered on its way.
  package static func raw(from saved: termios) -> termios {
    var mode = saved
    cfmakeraw(&mode)
    return mode
  }

  /// After this call a crash restores `saved` on `descriptor`, writes `bytes` to it, and then ends
  /// the process as it would have.
  package static func arm(descriptor: Int32, saved: termios, bytes: [UInt8]) {
    let state = crashState
    state.pointee.isArmed = 0
    state.pointee.descriptor = descriptor
    state.pointee.saved = saved
    state.pointee.count = min(bytes.count, crashCapacity)
    for (index, byte) in bytes.prefix(crashCapacity).enumerated() { state.pointee.bytes[index] = byte }
    // The first call loads what unwinding needs; in the handler that would be too late.
    _ = cn_backtrace(state.pointee.frames, Int32(crashFrames))
    state.pointee.isArmed = 1
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in crashed(signal) }
    // The handler runs once; then the default applies, because the signal is raised again at the
    // end.
    action.sa_flags = Int32(bitPattern: UInt32(SA_RESETHAND) | UInt32(SA_ONSTACK) | UInt32(SA_NODEFER))
    for signal in crashSignals { sigaction(signal, &action, nil) }
  }

  package static func disarm() {
    crashState.pointee.isArmed = 0
    var action = sigaction()
    action.__sigaction_handler.sa_handler = SIG_DFL
    for signal in crashSignals { sigaction(signal, &action, nil) }
  }
}

private func crashed(_ signal: Int32) {
  let state = crashState
  if state.pointee.isArmed != 0 {
    state.pointee.isArmed = 0
    _ = write(state.pointee.descriptor, state.pointee.bytes, state.pointee.count)
    tcsetattr(state.pointee.descriptor, TCSANOW, &state.pointee.saved)
    let lead: StaticString = "\nhotpot: error: a bug of ours ended the program here:\n"
    _ = write(state.pointee.descriptor, lead.utf8Start, lead.utf8CodeUnitCount)
    let count = cn_backtrace(state.pointee.frames, Int32(crashFrames))
    cn_backtrace_write(state.pointee.frames, count, state.pointee.descriptor)
  }
  raise(signal)
}

/// Delivers signals as bytes in a pipe, so that one `poll` waits for them and for keys alike.
///
/// One per process: signal handlers belong to the process.
package final class SignalPipe: Sendable {
  package let descriptor: Int32
  private let writer: Int32
  private let signals: [Int32]

  /// Installs handlers; afterwards each signal's number arrives from `next`. Nil if the system has
  /// no pipe left.
  package init?(_ signals: [Int32]) {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return nil }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    descriptor = ends[0]
    writer = ends[1]
    self.signals = signals
    signalWriter = writer
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      let saved = errno
      var byte = UInt8(truncatingIfNeeded: signal)
      // A full pipe already means "something came".
      _ = write(signalWriter, &byte, 1)
      errno = saved
    }
    action.sa_flags = SA_RESTART
    for signal in signals { sigaction(signal, &action, nil) }
  }

  package func next() -> [Int32] {
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = Glibc.read(descriptor, &bytes, bytes.count)
    return count > 0 ? bytes.prefix(count).map { Int32($0) } : []
  }

  /// Restores the signals' default actions, but SIGHUP and SIGPIPE are ignored. The terminal is
  /// gone or released, so signals about it must not end a node that keeps serving without it.
  /// - Returns: the signals that arrived and that `next` did not return.
  @discardableResult
  package func close() -> [Int32] {
    var action = sigaction()
    for signal in signals {
      action.__sigaction_handler.sa_handler = signal == SIGHUP || signal == SIGPIPE ? SIG_IGN : SIG_DFL
      sigaction(signal, &action, nil)
    }
    signalWriter = -1
    let rest = next()
    _ = Glibc.close(descriptor)
    _ = Glibc.close(writer)
    return rest
  }
}

/// Read by the handler only; -1 makes its write fail harmlessly.
nonisolated(unsafe) private var signalWriter: Int32 = -1
