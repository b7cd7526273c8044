// TakenTerminal.swift: what every program that takes the terminal begins with, and the clocks it goes by.
// Start at CursesScreen.take.
import Foundation
import Terminal

extension CursesScreen {
  /// Takes the terminal. Signals first: curses would else install handlers of its own, and SIGTSTP would stop the node
  /// with its jobs.
  static func take(_ environment: [String: String]) throws(ScreenError) -> (CursesScreen, SignalPipe?) {
    let signals = SignalPipe([SIGWINCH, SIGHUP, SIGTERM, SIGINT, SIGCONT, SIGTSTP, SIGPIPE])
    do throws(ScreenError) {
      return (try CursesScreen(environment: environment), signals)
    } catch {
      signals?.close()
      throw error
    }
  }
}

extension Moment {
  static var now: Moment {
    var steady = timespec()
    var wall = timespec()
    clock_gettime(CLOCK_MONOTONIC, &steady)
    clock_gettime(CLOCK_REALTIME, &wall)
    return Moment(
      wall: Int64(wall.tv_sec) * 1_000_000 + Int64(wall.tv_nsec) / 1000,
      steady: Int64(steady.tv_sec) * 1_000_000 + Int64(steady.tv_nsec) / 1000)
  }
}
