// The row of sliders and lists of a view. `inputRow(send, showCode)` returns its element, `update(specs, accepted)`
// and `end()`; `send(command)` returns the number of accepted commands from which on this one has been heard.

const SEND_EVERY_MS = 100;
const LIMITS = { min: "low", max: "high", step: "step" };

function inputRow(send, showCode) {
  const row = make("div", { class: "bl-inputs" });
  const controls = new Map();

  function control(spec) {
    const slider = spec.kind === "slider";
    const name = make("span");
    const input = slider ? make("input", { type: "range" }) : make("select");
    // A screen reader hears the value from the slider itself.
    const shown = make("output", { class: "bl-input-value", "aria-hidden": "true" });
    input.dataset.input = spec.name;
    // JupyterLab looks for shortcuts from the focused element upwards: the frame's own mark is too high up.
    input.dataset.lmSuppressShortcuts = "true";
    input.dataset.group = `input-${spec.name}`;
    const label = make("label", { class: "bl-input" }, name, input, shown);
    const own = { name, input, shown, label, heardAt: 0, timer: 0, last: -Infinity };

    function tell() {
      own.timer = 0;
      own.last = performance.now();
      own.heardAt = send({ kind: "set", name: spec.name, value: read(own) });
    }

    const point = () => showCode(own.spec.code.replace("{}", () => JSON.stringify(read(own))));
    // However wildly it is dragged, it sends ten times a second, and where it came to rest.
    input.addEventListener("input", () => {
      write(own, read(own));
      point();
      if (own.timer) return;
      own.timer = setTimeout(tell, Math.max(0, SEND_EVERY_MS - (performance.now() - own.last)));
    });
    input.addEventListener("focus", point);
    label.addEventListener("pointerover", point);
    return own;
  }

  // Makes a control what its spec says, which may change while the view lives.
  function shape(own, spec) {
    const before = own.spec;
    own.spec = spec;
    if (before && JSON.stringify({ ...before, value: 0 }) === JSON.stringify({ ...spec, value: 0 })) return;
    own.name.textContent = spec.label;
    own.input.setAttribute("aria-label", spec.label);
    if (spec.kind === "slider") {
      for (const [attribute, of] of Object.entries(LIMITS)) own.input.setAttribute(attribute, spec[of]);
      // As wide as its longest value, so that nothing beside it moves.
      const longest = [spec.low, spec.high, spec.high - spec.step].map((value) => words(spec, value).length);
      own.shown.style.minWidth = `${Math.max(...longest)}ch`;
    } else {
      const kept = own.input.value;
      own.input.replaceChildren(...spec.options.map((option) => make("option", { value: option }, option)));
      if (spec.options.includes(kept)) own.input.value = kept;
    }
  }

  function words({ unit }, value) {
    const number = Number(value.toFixed(6));
    return unit ? `${number} ${unit}` : String(number);
  }

  function read(own) {
    return own.spec.kind === "slider" ? Number(own.input.value) : own.input.value;
  }

  function write(own, value) {
    if (own.input.value !== String(value)) own.input.value = String(value);
    if (own.spec.kind !== "slider") return;
    const said = words(own.spec, value);
    if (own.shown.textContent === said) return;
    own.shown.textContent = said;
    own.input.setAttribute("aria-valuetext", said);
  }

  function drop(own) {
    clearTimeout(own.timer);
    own.label.remove();
    controls.delete(own.spec.name);
  }

  function update(specs, accepted) {
    for (const own of [...controls.values()]) {
      if (!specs.some(({ name, kind }) => name === own.spec.name && kind === own.spec.kind)) drop(own);
    }
    for (const spec of specs) {
      let own = controls.get(spec.name);
      if (!own) {
        own = control(spec);
        controls.set(spec.name, own);
        row.append(own.label);
      }
      shape(own, spec);
      // What the kernel says holds again once it has heard what was set here.
      if (!own.timer && accepted >= own.heardAt) write(own, spec.value);
    }
    row.hidden = specs.length === 0;
  }

  function end() {
    for (const own of controls.values()) clearTimeout(own.timer);
  }

  return { row, update, end };
}
