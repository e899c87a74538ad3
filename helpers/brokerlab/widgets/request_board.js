// The board's picture, and below it a way to send a file.

// One byte more than the API server takes: a larger file is refused by the server, in its own words.
const MOST_BYTES = 5_000_001;

export default liveView(({ stage, send, showCode }) => {
  const drawn = make("div", { class: "bl-drawn" });
  const file = make("input", { type: "file", accept: "image/*", "aria-label": "send a picture of your own" });
  const label = make("label", { class: "bl-upload" }, "Or send a picture of your own: ", file);
  stage.append(drawn, label);

  file.addEventListener("change", () => {
    const [chosen] = file.files;
    if (!chosen) return;
    showCode(`board.upload(${JSON.stringify(chosen.name)}, ${JSON.stringify(chosen.type)})`);
    const reader = new FileReader();
    reader.addEventListener("load", () => {
      const base64 = reader.result.slice(reader.result.indexOf(",") + 1);
      send({ kind: "upload", base64: reader.result.includes(",") ? base64 : "", type: chosen.type });
      file.value = "";
    });
    reader.readAsDataURL(chosen.slice(0, MOST_BYTES));
  });
  const point = () => showCode('board.upload("picture.jpg")');
  label.addEventListener("pointerover", point);
  file.addEventListener("focus", point);

  return (view) => patch(drawn, view.picture ? [view.picture] : []);
});
