// The frame of every view: title, age and a line of code on top, the view's own stage, a notice below.
// `liveView(mount)` makes the module; `mount(frame)` fills `frame.stage` and returns `update(view)`.

const SVG_SPACE = "http://www.w3.org/2000/svg";
const TICK_MS = 250;
const IDLE = "Every control is also one line of Python: Show code.";
const ANY_CONTROL = ".bl-stage :is([data-command], input, button), .bl-inputs :is(input, select)";
const POINT_HERE = "# point at a button, or tab to it";

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// Makes the children of `parent` those of the scene, keeping what has the same key (so that it can move).
function patch(parent, scene) {
  const kept = new Map();
  const used = new Set();
  for (const node of parent.childNodes) if (node.sceneKey) kept.set(node.sceneKey, node);
  const nodes = scene.map((item, index) => {
    if (typeof item === "string") {
      const key = `#text ${index}`;
      const node = kept.get(key) ?? Object.assign(document.createTextNode(""), { sceneKey: key });
      if (node.data !== item) node.data = item;
      return node;
    }
    const [tag, attributes, ...children] = item;
    let key = `${tag} ${attributes.key ?? index}`;
    while (used.has(key)) key += " again";
    used.add(key);
    const space = tag === "svg" ? SVG_SPACE : parent.namespaceURI;
    const node = kept.get(key) ?? Object.assign(document.createElementNS(space, tag), { sceneKey: key });
    for (const { name } of [...node.attributes]) if (!(name in attributes)) node.removeAttribute(name);
    for (const [name, value] of Object.entries(attributes)) {
      if (name !== "key" && node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
    }
    patch(node, children);
    return node;
  });
  const wanted = new Set(nodes);
  for (const node of [...parent.childNodes]) if (!wanted.has(node)) node.remove();
  nodes.forEach((node, index) => {
    if (parent.childNodes[index] !== node) parent.insertBefore(node, parent.childNodes[index] ?? null);
  });
}

function liveView(mount) {
  function render({ model, el }) {
    const title = make("span", { class: "bl-title" });
    const status = make("span", { class: "bl-status", "data-status": "" });
    const toggle = make("button", { class: "bl-toggle", type: "button", "aria-pressed": "false" }, "Show code");
    const stage = make("div", { class: "bl-stage" });
    const notice = make("p", { class: "bl-notice", "aria-live": "polite" });
    const code = make("code", { class: "bl-code" });
    const inputs = inputRow(send, showCode);
    const root = make(
      "div",
      { class: "bl", "data-lm-suppress-shortcuts": "true" },
      make("div", { class: "bl-head" }, title, status, code, toggle),
      inputs.row,
      stage,
      notice,
    );
    el.append(root);

    const sent = new Map();
    let owed = 0;
    let pulseAt = performance.now();
    let codeShown = false;

    const frame = { stage, showCode, send };
    const update = mount(frame);

    function showCode(line) {
      if (codeShown && line) code.textContent = line;
    }

    const accepted = () => model.get("state")?.accepted ?? 0;

    // Returns what `accepted` will be at least, once the kernel has heard all that was sent from here.
    function send(command) {
      owed = Math.max(owed, accepted()) + 1;
      model.send(command);
      return owed;
    }

    function controlOf(event) {
      return event.target.closest?.("[data-command]");
    }

    function press(control) {
      if (control.getAttribute("aria-disabled") === "true") return;
      const { command } = control.dataset;
      showCode(control.dataset.code);
      sent.set(command, send(JSON.parse(command)));
      markSent();
    }

    // A control stays pressed until the kernel has taken the command, which may be after a busy cell.
    function markSent() {
      for (const [command, due] of sent) if (accepted() >= due) sent.delete(command);
      for (const control of stage.querySelectorAll("[data-command]")) {
        const waits = sent.has(control.dataset.command);
        control.classList.toggle("bl-sent", waits);
        if (waits) control.setAttribute("aria-disabled", "true");
      }
    }

    function age() {
      const pulse = model.get("pulse") ?? {};
      return (pulse.age ?? 0) + (performance.now() - pulseAt) / 1000;
    }

    function tick() {
      const state = model.get("state") ?? {};
      const seconds = Math.floor(age());
      const lost = stage.querySelector('[data-headline="lost"]') !== null;
      const stale = age() > (state.stale_after ?? Infinity);
      const kind = state.ended ? "ended" : stale ? "stale" : lost ? "lost" : "live";
      const words = {
        ended: state.ended,
        stale: `no news for ${seconds} s`,
        lost: `lost, seen ${seconds} s ago`,
        live: `live, seen ${seconds} s ago`,
      };
      if (status.textContent !== words[kind]) status.textContent = words[kind];
      status.dataset.status = kind;
      root.dataset.status = kind;
    }

    function onState() {
      const state = model.get("state") ?? {};
      inputs.update(state.inputs ?? [], accepted());
      const focused = stage.contains(document.activeElement) ? document.activeElement : null;
      const family = focused?.dataset.group;
      title.textContent = state.title ?? "";
      update(state.view ?? {});
      const { kind = "none", text: said = "" } = state.notice ?? {};
      const text = said || (root.querySelector(ANY_CONTROL) ? IDLE : "");
      notice.dataset.notice = said ? kind : "none";
      notice.title = text;
      if (notice.textContent !== text) notice.textContent = text;
      if (state.ended) {
        for (const control of root.querySelectorAll(ANY_CONTROL)) {
          control.setAttribute("aria-disabled", "true");
          if ("disabled" in control) control.disabled = true;
        }
      }
      markSent();
      if (family && !focused.isConnected) {
        stage.querySelector(`[data-group="${CSS.escape(family)}"]`)?.focus({ preventScroll: true });
      }
      tick();
    }

    function onPulse() {
      pulseAt = performance.now();
      tick();
    }

    function onClick(event) {
      const control = controlOf(event);
      if (control) press(control);
    }

    function onKey(event) {
      const control = controlOf(event);
      if (!control || control.tagName === "BUTTON" || (event.key !== "Enter" && event.key !== " ")) return;
      event.preventDefault();
      event.stopPropagation();
      press(control);
    }

    function onPoint(event) {
      showCode(controlOf(event)?.dataset.code);
    }

    function onToggle() {
      codeShown = !codeShown;
      toggle.setAttribute("aria-pressed", String(codeShown));
      root.classList.toggle("bl-with-code", codeShown);
      code.textContent = codeShown ? POINT_HERE : "";
    }

    stage.addEventListener("click", onClick);
    stage.addEventListener("keydown", onKey);
    stage.addEventListener("pointerover", onPoint);
    stage.addEventListener("focusin", onPoint);
    toggle.addEventListener("click", onToggle);
    model.on("change:state", onState);
    model.on("change:pulse", onPulse);
    const clock = setInterval(tick, TICK_MS);
    onState();

    return () => {
      clearInterval(clock);
      inputs.end();
      model.off("change:state", onState);
      model.off("change:pulse", onPulse);
    };
  }
  return { render };
}
