// Two terminals: lines go out as commands, and come back in the state.

const PANES = [
  { name: "producer", says: "Producer", state: { waiting: "not started", running: "running", ended: "ended" } },
  { name: "consumer", says: "Consumer", state: { waiting: "not started", running: "running", ended: "stopped" } },
];

function paneScene({ name, says, state }, terminal) {
  const lines = terminal.lines.map(([kind, line], index) => [
    "div",
    { key: terminal.hidden + index, class: `bl-line bl-line-${kind}`, "data-line": kind },
    line || "\u00a0",
  ]);
  // An option such as --topic must not be broken at its hyphens.
  const words = ["$", ...terminal.command.split(" ")].flatMap((word) => [" ", ["span", { class: "bl-word" }, word]]).slice(1);
  return [
    ["span", { class: "bl-pane-name" }, says],
    ["span", { class: "bl-pane-state", "data-state": terminal.state }, state[terminal.state]],
    ["code", { class: "bl-command", title: terminal.command }, ...words],
    ["div", { class: "bl-log", role: "log", "aria-label": `${name} terminal`, tabindex: 0 }, ...lines],
  ];
}

function controlScene(running) {
  const [kind, words, code] = running
    ? ["stop", "Stop consumer", "consoles.stop_consumer()"]
    : ["start", "Start consumer", "consoles.start_consumer()"];
  const command = JSON.stringify({ kind });
  return [
    "button",
    { key: kind, type: "button", "data-command": command, "data-code": code, "data-group": "consumer" },
    words,
  ];
}

export default liveView(({ stage, send, showCode }) => {
  const input = make("input", {
    type: "text",
    "aria-label": "a line for the producer",
    placeholder: "type a message, then Enter",
    autocomplete: "off",
    spellcheck: "false",
  });
  const entry = make("div", { class: "bl-entry" }, make("span", { "aria-hidden": "true" }, ">"), input);
  const controls = make("div", { class: "bl-entry" });
  const panes = PANES.map(({ name }) => make("div", { class: "bl-pane-body", "data-pane": name }));
  stage.append(
    make(
      "div",
      { class: "bl-panes" },
      make("section", { class: "bl-pane", "aria-label": "producer" }, panes[0], entry),
      make("section", { class: "bl-pane", "aria-label": "consumer" }, panes[1], controls),
    ),
  );

  const showTyped = () => showCode(`consoles.type(${JSON.stringify(input.value)})`);
  input.addEventListener("input", showTyped);
  input.addEventListener("focus", showTyped);
  // Not a form: JupyterLab keeps Enter from submitting one.
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || input.disabled) return;
    event.preventDefault();
    event.stopPropagation();
    send({ kind: "type", text: input.value });
    input.value = "";
  });

  return (view) => {
    PANES.forEach((pane, index) => {
      const terminal = view[pane.name];
      if (!terminal) return;
      const before = panes[index].querySelector(".bl-log");
      const atEnd = !before || before.scrollTop + before.clientHeight >= before.scrollHeight - 4;
      patch(panes[index], paneScene(pane, terminal));
      const log = panes[index].querySelector(".bl-log");
      if (atEnd) log.scrollTop = log.scrollHeight;
    });
    if (view.consumer) patch(controls, [controlScene(view.consumer.state === "running")]);
  };
});
