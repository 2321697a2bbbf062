
// Pictures in (chosen, dropped, pasted, photographed), one card each out. All calls go to the
// server that the page came from; the token is kept in its field and nowhere else.

// Each picture is a request of its own, so that its answer shows as soon as it is ready and a
// failure is its own; few at a time, so that one visitor does not fill the server's queue.
const CONCURRENT_REQUESTS = 4;
const WORDS = {
  400: ["The server did not accept this.", "It gave no reason."],
  404: ["The server does not have this model.", "It may have been removed or renamed."],
  413: ["The file is too large.", "It has more bytes than the server takes."],
  415: ["This is not a picture that can be read.", "Send one of the formats named above."],
  422: ["The picture cannot be decoded.", "It may be damaged."],
  500: ["The server failed on this picture.", "It may have taken too long. Try again."],
  503: ["The server is busy.", "Try again in a moment."],
  507: ["The server is restarting its worker.", "Try again in a moment."],
};
const UNREACHED = ["The server was not reached.", "Check the connection and try again."];
const UNREADABLE = ["The answer cannot be understood.", "Something on the way changed it."];
const TOKEN_REFUSED = ["The server wants a token.", "It is missing or wrong. Enter it above."];
const TRY_AGAIN = new Set([408, 429, 500, 502, 503, 504, 507]);
// Above this a refusal by size is likely where the connection broke while the file was sent.
const LARGE_BYTES = 8 * 1024 * 1024;

const find = (selector, root = document) => root.querySelector(selector);
const upload = find("#upload");
const token = find("#token");
const cards = new Set();

// Wherever a proxy mounts it, `.../predictions/NAME` or `.../predictions/NAME/VERSION` is where
// the page's own pictures go; a page served at another address goes by the form's action.
const ROUTE = /\/predictions\/(?=[^/]+(?:\/[^/]+)?$)/;
const predictions = ROUTE.test(location.pathname)
  ? location.pathname
  : upload.getAttribute("action");
const explanations = predictions.replace(ROUTE, "/explanations/");

class Problem extends Error {
  constructor([title, detail], { again = false, wantsToken = false } = {}) {
    super(detail);
    Object.assign(this, { title, again, wantsToken });
  }

  static async from(response) {
    const { status } = response;
    const { type = "", message } = await response.json().catch(() => ({}));
    if (status === 401 || type === "InvalidKeyException") {
      return new Problem(TOKEN_REFUSED, { again: true, wantsToken: true });
    }
    const [title, detail] = WORDS[status] ?? [`The server answered ${status}.`, "Try again later."];
    // With a 4xx the server tells the sender what to mend; with a 5xx it speaks to its operator.
    const says = status < 500 && message ? message : detail;
    return new Problem([title, says], { again: TRY_AGAIN.has(status) });
  }
}

async function post(path, file, signal, { accept, options = {} }) {
  const body = new FormData();
  body.set("file", file);
  Object.entries(options).forEach(([name, value]) => body.set(name, value));
  const headers = { Accept: accept };
  if (token.value && token.validity.valid) headers.Authorization = `Bearer ${token.value}`;
  const request = { method: "POST", body, headers, signal, redirect: "error" };
  const response = await fetch(path, request).catch((error) => {
    if (signal.aborted) throw error;
    const large = `The file has ${megabytes(file)}; that may be more than the server takes.`;
    const detail = file.size > LARGE_BYTES ? large : UNREACHED[1];
    throw new Problem([UNREACHED[0], detail], { again: true });
  });
  if (!response.ok) throw await Problem.from(response);
  showWeights(response.headers.get("X-Model-Weights"));
  return response;
}

const waiting = [];
let running = 0;

function enqueue(task) {
  waiting.push(task);
  startWaiting();
}

function startWaiting() {
  while (running < CONCURRENT_REQUESTS && waiting.length > 0) {
    running += 1;
    waiting.shift()().finally(() => {
      running -= 1;
      startWaiting();
    });
  }
}

class Card {
  constructor(file) {
    this.file = file;
    this.abort = new AbortController();
    this.urls = [];
    this.element = find("#card").content.firstElementChild.cloneNode(true);
    this.part("h3").textContent = file.name;
    this.showPreview();
    this.button("remove", () => this.remove({ focusNext: true }));
    this.button("retry", () => {
      this.element.focus(); // the button is about to go
      this.send();
    });
    this.button("explain", () => this.toggleHeatmap());
  }

  part(selector) {
    return find(selector, this.element);
  }

  button(name, onClick) {
    const button = this.part(`.${name}`);
    button.setAttribute("aria-label", `${button.textContent}: ${this.file.name}`);
    button.addEventListener("click", onClick);
  }

  url(blob) {
    this.urls.push(URL.createObjectURL(blob));
    return this.urls.at(-1);
  }

  showPreview() {
    const preview = this.part(".preview");
    preview.alt = `Preview of ${this.file.name}`;
    preview.addEventListener("error", () => {
      preview.hidden = true;
      this.part(".placeholder").hidden = false;
    });
    preview.src = this.url(this.file);
  }

  send() {
    this.show("waiting");
    this.part(".state").textContent = "Waiting …";
    enqueue(() => this.classify());
  }

  async classify() {
    if (this.abort.signal.aborted) return;
    this.part(".state").textContent = "Sending …";
    try {
      const how = { accept: "application/json", options: { top_k: 5 } };
      const response = await post(predictions, this.file, this.abort.signal, how);
      this.showAnswer(await response.json());
    } catch (error) {
      this.showProblem(error);
    }
  }

  // The states: waiting, named, unnamed (not recognised), failed.
  show(state) {
    this.state = state;
    this.element.className = `card ${state}`;
    const answered = state === "named" || state === "unnamed";
    this.part(".state").hidden = state !== "waiting";
    [".verdict", ".classes", ".explain"].forEach((each) => (this.part(each).hidden = !answered));
    this.part(".note").hidden = state !== "unnamed";
    this.part(".problem").hidden = this.part(".retry").hidden = true;
    refresh();
  }

  showAnswer({ class_id, class_name, predictions: classes }) {
    this.best = spoken(classes[0].class_name);
    const id = document.createElement("code");
    id.textContent = class_id;
    this.part(".verdict").replaceChildren(
      ...(class_name ? [spoken(class_name), " ", id] : ["Not recognised"]),
    );
    this.part(".note").textContent = "No class is probable enough. The nearest ones:";
    this.part(".classes").replaceChildren(...classes.map(classRow));
    this.show(class_name ? "named" : "unnamed");
    const verdict = class_name ? "" : "not recognised; the nearest class is ";
    announce(`${this.file.name}: ${verdict}${this.best}, ${percent(classes[0].probability)}`);
  }

  showProblem(error) {
    if (this.abort.signal.aborted) return;
    // What is no Problem was thrown by an answer that is not what the server answers.
    const problem = error instanceof Problem ? error : new Problem(UNREADABLE);
    if (this.state === "waiting") this.show("failed");
    this.wantsToken = problem.wantsToken;
    this.part(".problem").hidden = false;
    this.part(".problem strong").textContent = problem.title;
    this.part(".problem span").textContent = problem.message;
    this.part(".retry").hidden = !(problem.again && this.state === "failed");
    if (problem.wantsToken) find("#access").open = true;
    announce(`${this.file.name}: ${problem.title} ${problem.message}`);
  }

  // The server's overlay rather than one of our own: it fits whatever format, orientation or
  // frame the server saw, also where the browser cannot show the file.
  async toggleHeatmap() {
    const button = this.part(".explain");
    const overlay = this.part(".heatmap");
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    try {
      if (!overlay.src) {
        const how = { accept: "image/png" };
        const response = await post(explanations, this.file, this.abort.signal, how);
        overlay.src = this.url(await response.blob());
        await overlay.decode();
        overlay.alt = `Heat map of ${this.file.name}`;
        this.part("figcaption").textContent = `Red speaks most for ${this.best}, blue least.`;
      }
      this.part(".problem").hidden = true;
      overlay.hidden = this.part("figcaption").hidden = !overlay.hidden;
      button.ariaPressed = String(!overlay.hidden);
      announce(`${overlay.alt} ${overlay.hidden ? "hidden" : "shown"}`);
    } catch (error) {
      overlay.removeAttribute("src");
      this.showProblem(error);
    }
    button.ariaBusy = "false";
  }

  remove({ focusNext }) {
    const next = this.element.nextElementSibling ?? this.element.previousElementSibling;
    this.abort.abort();
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    this.element.remove();
    cards.delete(this);
    refresh();
    if (focusNext) (next ? find(".remove", next) : find("#file")).focus();
  }
}

function classRow({ class_name, probability }) {
  const row = find("#class").content.firstElementChild.cloneNode(true);
  const meter = find("svg", row);
  find(".label", row).textContent = meter.ariaLabel = spoken(class_name);
  find(".percent", row).textContent = meter.ariaValueText = percent(probability);
  meter.ariaValueNow = 100 * probability;
  find("rect", meter).setAttribute("width", `${100 * probability}%`);
  return row;
}

const spoken = (className) => className.replaceAll("_", " ");
const megabytes = (file) => `${(file.size / 1024 / 1024).toFixed(1)} MB`;

// Never a rounded 0 or 100: the network is not that sure.
function percent(part) {
  if (part < 0.001) return "<0.1%";
  return part > 0.999 ? ">99.9%" : `${(100 * part).toFixed(1)}%`;
}

function announce(text) {
  const line = document.createElement("p");
  line.textContent = text;
  find("#log").append(line);
}

function showWeights(name) {
  if (!name) return; // a proxy may have dropped the header
  find("#weights").textContent = name;
  find("#demo").hidden = name !== "demo";
}

function refresh() {
  const answered = [...cards].filter((card) => card.state !== "waiting").length;
  find("#results").hidden = cards.size === 0;
  find("#progress").textContent = `${answered} of ${cards.size} answered`;
}

function add(files) {
  const added = Array.from(files, (file) => new Card(file));
  find("#cards").prepend(...added.map((card) => card.element));
  added.forEach((card) => cards.add(card));
  added.forEach((card) => card.send());
}

for (const input of [find("#file"), find("#photo")]) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = ""; // so that choosing the same file again is a change
  });
}
find("#file").multiple = true; // without a script the form sends one file
upload.addEventListener("submit", (event) => event.preventDefault());

find("#clear").addEventListener("click", () => {
  [...cards].forEach((card) => card.remove({ focusNext: false }));
  find("#log").replaceChildren();
  find("#file").focus();
});

find("#authorise").addEventListener("submit", (event) => {
  event.preventDefault();
  const refused = [...cards].filter((card) => card.state === "failed" && card.wantsToken);
  refused.forEach((card) => card.send());
});

const dragsFiles = (event) => event.dataTransfer.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!dragsFiles(event)) return;
  event.preventDefault(); // a browser would leave the page and open the file
  document.body.classList.add("dragging");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
document.addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!dragsFiles(event)) return;
  event.preventDefault();
  add(event.dataTransfer.files);
});

let pasted = 0;
document.addEventListener("paste", (event) => {
  // Every pasted picture is called image.png; a number tells them apart.
  const named = (file) => new File([file], `pasted-${(pasted += 1)}.png`, { type: file.type });
  add(Array.from(event.clipboardData.files, named));
});
