// The row of sliders and lists of a view. `inputRow(send, showCode)` returns its element and `update(specs, accepted)`.

const SEND_EVERY_MS = 100;

function inputRow(send, showCode) {
  const row = make("div", { class: "bl-inputs" });
  const controls = new Map();

  function control(spec) {
    const shown = make("output", { class: "bl-input-value" });
    const input =
      spec.kind === "slider"
        ? make("input", { type: "range", min: spec.low, max: spec.high, step: spec.step })
        : make("select", {}, ...spec.options.map((option) => make("option", { value: option }, option)));
    input.dataset.input = spec.name;
    input.dataset.group = `input-${spec.name}`;
    input.setAttribute("aria-label", spec.label);
    const label = make("label", { class: "bl-input" }, make("span", {}, spec.label), input, shown);
    const own = { spec, input, shown, label, heardAt: -1, timer: 0, last: 0 };

    function tell() {
      own.timer = 0;
      own.last = performance.now();
      own.heardAt = own.accepted ?? 0;
      send({ kind: "set", name: spec.name, value: read(own) });
    }

    // However wildly it is dragged, it sends ten times a second, and where it came to rest.
    input.addEventListener("input", () => {
      write(own, read(own));
      showCode(own.spec.code.replace("{}", JSON.stringify(read(own))));
      if (own.timer) return;
      own.timer = setTimeout(tell, Math.max(0, SEND_EVERY_MS - (performance.now() - own.last)));
    });
    const point = () => showCode(own.spec.code.replace("{}", JSON.stringify(read(own))));
    input.addEventListener("focus", point);
    label.addEventListener("pointerover", point);
    return own;
  }

  function read(own) {
    return own.spec.kind === "slider" ? Number(own.input.value) : own.input.value;
  }

  function write(own, value) {
    if (own.input.value !== String(value)) own.input.value = String(value);
    const words = own.spec.kind === "slider" ? `${value}${own.spec.unit ? ` ${own.spec.unit}` : ""}` : "";
    if (own.shown.textContent !== words) own.shown.textContent = words;
  }

  function update(specs, accepted) {
    for (const [name, own] of controls) {
      if (!specs.some((spec) => spec.name === name)) {
        own.label.remove();
        controls.delete(name);
      }
    }
    for (const spec of specs) {
      let own = controls.get(spec.name);
      if (!own) {
        own = control(spec);
        controls.set(spec.name, own);
        row.append(own.label);
      }
      own.spec = spec;
      own.accepted = accepted;
      if (!own.timer && accepted > own.heardAt) {
        own.heardAt = -1;
        write(own, spec.value);
      }
    }
    row.hidden = specs.length === 0;
  }

  return { row, update };
}
