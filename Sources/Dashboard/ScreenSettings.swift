// ScreenSettings.swift: what an operator chose on the screen and finds again the next time. Where it
// is kept is the program's. Start at ScreenSettings.
import Terminal

/// A value that is nil, or a pane that is missing, is as the configuration says.
package struct ScreenSettings: Codable, Equatable, Sendable {
  package var theme: String?
  package var mouse: Bool?
  package var bell: Bool?
  package var graphs: String?
  /// The columns that lists are sorted by, by pane; inverted with `-` in front.
  package var sorts: [String: String]?
  package var filters: [String: String]?
  package var hidesEnded: Bool?
  package var system: String?
  /// System prompts by the names that they were kept under.
  package var systems: [String: String]?
  package var temperature: Double?
  package var maxTokens: Int?

  package init() {}
}

extension DashboardModel {
  /// What differs from the options that the dashboard was started with.
  package var settings: ScreenSettings {
    var found = ScreenSettings()
    func different<Value: Equatable>(_ value: Value, _ usual: Value) -> Value? {
      value == usual ? nil : value
    }
    found.theme = different((themeBefore ?? theme).name, options.theme.name)
    found.mouse = different(hasMouse, options.mouse)
    found.bell = different(bell, options.bell)
    found.graphs = different(graphStyle, options.graphs)?.rawValue
    found.system = different(chat.system, options.chatSystem)
    found.systems = systems.isEmpty ? nil : systems
    found.temperature = different(chat.temperature, options.chatTemperature)
    found.maxTokens = different(chat.maxTokens, options.chatMaxTokens)
    found.hidesEnded = lists[.jobs]?.hidesEnded == true ? true : nil
    var sorts: [String: String] = [:]
    var filters: [String: String] = [:]
    for (pane, list) in lists {
      let columns = pane.list?.columns ?? []
      if list.sortColumn != 0 || list.isInverted, columns.indices.contains(list.sortColumn) {
        sorts[pane.name] = (list.isInverted ? "-" : "") + columns[list.sortColumn]
      }
      if !list.filter.isEmpty { filters[pane.name] = list.filter.text }
    }
    found.sorts = sorts.isEmpty ? nil : sorts
    found.filters = filters.isEmpty ? nil : filters
    return found
  }

  /// Takes what is still there: names that this release does not know are passed over.
  mutating func apply(_ settings: ScreenSettings) {
    if let found = options.themes.first(where: { $0.name == settings.theme }) { theme = found }
    hasMouse = settings.mouse ?? hasMouse
    bell = settings.bell ?? bell
    graphStyle = settings.graphs.flatMap(GraphStyle.init(rawValue:)) ?? graphStyle
    lists[.jobs]?.hidesEnded = settings.hidesEnded ?? false
    for pane in Pane.all {
      if let word = settings.sorts?[pane.name] {
        let isInverted = word.hasPrefix("-")
        if let column = pane.list?.columns.firstIndex(of: String(isInverted ? word.dropFirst() : word[...])) {
          lists[pane]?.sortColumn = column
          lists[pane]?.isInverted = isInverted
        }
      }
      if let filter = settings.filters?[pane.name] { lists[pane]?.filter.text = String(filter.prefix(200)) }
    }
    chat.system = String((settings.system ?? chat.system).prefix(10_000))
    for (name, text) in (settings.systems ?? [:]).sorted(by: { $0.key < $1.key }).prefix(50) {
      systems[name] = String(text.prefix(10_000))
    }
    if let temperature = settings.temperature, (0...2).contains(temperature) {
      chat.temperature = temperature
    }
    if let most = settings.maxTokens, (1...1_000_000).contains(most) { chat.maxTokens = most }
  }

  /// Back to what the configuration and the command line say.
  mutating func forgetSettings() -> [Effect] {
    let hadMouse = hasMouse
    theme = options.theme
    (hasMouse, bell, graphStyle) = (options.mouse, options.bell, options.graphs)
    for pane in lists.keys {
      lists[pane]?.sortColumn = 0
      lists[pane]?.isInverted = false
      lists[pane]?.filter.text = ""
      lists[pane]?.hidesEnded = false
      lists[pane]?.restUntil = 0
      lists[pane]?.arrangedAt = 0
    }
    (chat.system, chat.temperature, chat.maxTokens) = (
      options.chatSystem, options.chatTemperature, options.chatMaxTokens
    )
    arrangeLists()
    say("the screen is as it was set up")
    return hadMouse == hasMouse ? [] : [.mouse(hasMouse)]
  }
}
