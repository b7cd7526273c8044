// SettingsTests.swift: what was chosen on the screen is kept, and found again.
import ScriptedNode
import Terminal
import Testing

@testable import Dashboard

@Suite struct SettingsTests {
  private func kept(_ stage: Stage) -> ScreenSettings? {
    stage.commands.reversed().lazy.compactMap { if case .keep(let settings) = $0 { settings } else { nil } }
      .first
  }

  @Test func `choices are kept as they are made and found again`() throws {
    var stage = Stage(.busy())
    #expect(kept(stage) == nil)
    stage.press("T", ">", "I", "e", "M", "/")
    stage.type("bot")
    stage.press("Enter", ":")
    stage.type("bell off")
    stage.press("Enter", ":")
    stage.type("graphs sweep")
    stage.press("Enter", ":")
    stage.type("system Be short.")
    stage.press("Enter")
    let settings = try #require(kept(stage))
    #expect(settings.theme == stage.model.theme.name && settings.theme != DashboardOptions().theme.name)
    #expect(settings.sorts == ["jobs": "-job"] && settings.filters == ["jobs": "bot"])
    #expect(settings.mouse == true && settings.bell == false && settings.graphs == "sweep")
    #expect(settings.hidesEnded == true && settings.system == "Be short." && settings.temperature == nil)

    var options = DashboardOptions()
    options.settings = settings
    var again = Stage(.busy(), options: options)
    #expect(again.model.settings == settings && kept(again) == nil)
    #expect(again.screen.text.contains("/bot"))
    again.press(":")
    again.type("forget-settings")
    again.press("Enter")
    #expect(kept(again) == ScreenSettings() && again.model.theme.name == options.theme.name)
  }

  @Test func `of a theme that dims its highlight, the frame in focus is no fainter than the others`() throws {
    // As btop's dracula and gruvbox_dark have them.
    let dracula = try Theme(
      name: "dracula",
      file:
        "theme[main_bg]=\"#282a36\"\ntheme[main_fg]=\"#f8f8f2\"\ntheme[hi_fg]=\"#6272a4\"\ntheme[proc_box]=\"#bd93f9\"\n"
    )
    #expect(dracula.highlight != Color.rgb(0x62, 0x72, 0xA4) && dracula.pending == dracula.highlight)
    func light(_ color: Color) -> Double {
      guard case .rgb(let r, let g, let b) = color.kind else { return 0 }
      return lab((r, g, b)).lightness
    }
    #expect(light(dracula.highlight) > light(dracula.box))
    let gruvbox = try Theme(
      name: "gruvbox",
      file:
        "theme[main_bg]=\"#1d2021\"\ntheme[main_fg]=\"#a89984\"\ntheme[hi_fg]=\"#98971a\"\ntheme[selected_bg]=\"#32302f\"\n"
    )
    #expect(gruvbox.highlight == Color.rgb(0x98, 0x97, 0x1A))
    #expect(light(gruvbox.selectedBackground) - light(gruvbox.background) > 12)
    // Those that are clear already stay as they are.
    for theme in Theme.shipped.compactMap({ Theme.shipped($0.name) }) {
      #expect(theme.selectedBackground != theme.background || theme.background == .terminal, "\(theme.name)")
    }
  }

  @Test func `what this release does not know is passed over`() {
    var options = DashboardOptions()
    options.settings.theme = "nosuch"
    options.settings.graphs = "nosuch"
    options.settings.sorts = ["jobs": "nosuch", "zork": "x", "receipts": "-"]
    options.settings.temperature = .infinity
    options.settings.maxTokens = -1
    let stage = Stage(.busy(), options: options)
    #expect(stage.model.settings == ScreenSettings())
  }
}
