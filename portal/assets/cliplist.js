// The list of clips: a small picture that plays, what was heard when, the verdict on its scale, what people said.
// Draws what portal/cliplist.py sends; tells which line was chosen, and whether it is to be played at once.

const made = (kind, name, text) => {
  const element = document.createElement(kind);
  element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
};

function line(row, labels, choose) {
  const clip = made("div", `clip ${row.tone}`);
  clip.setAttribute("role", "option");
  clip.tabIndex = 0;
  clip.dataset.id = row.id;
  const play = made("button", "play");
  play.type = "button";
  play.setAttribute("aria-label", `${labels.play}: ${row.name}`);
  play.title = labels.play;
  const picture = made("img", "");
  picture.alt = "";
  if (row.image) picture.src = row.image;
  else picture.hidden = true;
  play.append(picture);
  const what = made("div", "what");
  what.append(made("div", "name", row.name), made("div", "about", row.about));
  const verdict = made("div", "verdict");
  verdict.append(made("span", "badge", row.verdict), made("span", "score", row.score));
  const scale = made("div", "scale"), fill = made("span", "fill"), limit = made("span", "limit");
  fill.style.width = `${100 * row.fill}%`;
  limit.style.left = `${100 * row.limit}%`;
  scale.title = labels.scale;
  scale.append(fill, limit);
  verdict.append(scale);
  const state = made("div", "state", row.state);
  if (row.flaw) state.append(made("div", "flaw", row.flaw));
  clip.append(play, what, verdict, state);
  clip.onclick = () => choose(row.id, false);
  play.onclick = (event) => { event.stopPropagation(); choose(row.id, true); };
  clip.onkeydown = (event) => {
    if (event.target !== clip) return;
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(row.id, false); }
    const next = { ArrowDown: clip.nextElementSibling, ArrowUp: clip.previousElementSibling }[event.key];
    if (next) { event.preventDefault(); next.focus(); }
  };
  return clip;
}

// What was chosen opens below the list: bring it into sight, and play it if it is there already.
function show(id, play, tries = 60) {
  const opened = document.querySelector(`.st-key-opened-${id}`);
  if (!opened) {
    if (tries) setTimeout(() => show(id, play, tries - 1), 100);
    return;
  }
  if (opened.getBoundingClientRect().top > window.innerHeight * 0.6) opened.scrollIntoView({ behavior: "smooth" });
  const audio = opened.querySelector("audio");
  if (play && audio) audio.play().catch(() => {});
}

export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".clips");
  const mark = (id) => {
    for (const clip of root.children) clip.setAttribute("aria-selected", String(clip.dataset.id === id));
  };
  const choose = (id, play) => {
    mark(id);
    setStateValue("chosen", { id, play });
    show(id, play);
  };
  root.setAttribute("aria-label", data.labels.list);
  const drawn = JSON.stringify(data.rows);
  if (root.drawn !== drawn) {
    const at = root.scrollTop;
    root.replaceChildren(...data.rows.map((row) => line(row, data.labels, choose)));
    root.scrollTop = at;
    root.drawn = drawn;
  }
  mark(data.chosen);
}
