// Sign up, verify, log in by cookie, refresh when needed, log out. No token is ever within reach of this script.

const API = "/api/v1";
const $ = (id) => document.getElementById(id);
const cookie = (name) => document.cookie.split("; ").find((one) => one.startsWith(`${name}=`))?.split("=")[1];

class Refused extends Error {
  constructor(problem) {
    super([problem.detail, ...(problem.errors ?? []).map((one) => `${one.field}: ${one.detail}`)].join(" "));
    this.code = problem.code; // programs decide by this; the words are for people
    this.status = problem.status;
  }
}

async function send(method, path, body) {
  const headers = { "X-CSRFToken": cookie("csrftoken") ?? "" };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json();
  if (!response.ok) throw new Refused(answer);
  return answer;
}

// The CSRF token is fetched when it is missing, or when the server does not take it any more.
async function call(method, path, body) {
  if (method !== "GET" && !cookie("csrftoken")) await send("GET", "/auth/csrf");
  try {
    return await send(method, path, body);
  } catch (problem) {
    if (problem.code !== "csrf_failed") throw problem;
    await send("GET", "/auth/csrf");
    return send(method, path, body);
  }
}

// For whoever is signed in: when the access cookie has ended, refresh once and try again. Tabs need no agreement about
// that. Whichever comes second, within the grace of some seconds, is given the same cookies as the first; and one that
// comes later sends the new cookie already, because a browser adds cookies when it sends.
async function signedIn(method, path, body) {
  try {
    return await call(method, path, body);
  } catch (problem) {
    if (!["not_authenticated", "invalid_token"].includes(problem.code)) throw problem;
    await call("POST", "/auth/refresh");
    return call(method, path, body);
  }
}

function show(id, message = "") {
  for (const part of document.querySelectorAll("main > form, main > section")) part.hidden = part.id !== id;
  $("message").textContent = message;
}

async function home() {
  try {
    $("email").textContent = (await signedIn("GET", "/users/me")).email;
    show("home");
  } catch (problem) {
    show("login", problem.status < 500 ? "" : problem.message);
  }
}

let waiting = {}; // who has signed up here and not verified yet

const steps = {
  async signup({ email, password }) {
    await call("POST", "/auth/signup", { email, password });
    waiting = { email, password };
    show("verify", "A code is on its way to you.");
  },
  async verify({ code }) {
    await call("POST", "/auth/verify", { ...waiting, code: code.replace(/\D/g, "") });
    await steps.login(waiting);
  },
  async login({ email, password }) {
    try {
      await call("POST", "/auth/login", { email, password, cookies: true });
    } catch (problem) {
      if (problem.code !== "email_not_verified") throw problem;
      waiting = { email, password };
      return show("verify", problem.message);
    }
    waiting = {};
    await home();
  },
};

for (const [id, step] of Object.entries(steps)) {
  $(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target));
    await step(fields).catch((problem) => { $("message").textContent = problem.message; });
  });
}
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => show(button.dataset.show));
}
$("reload").addEventListener("click", home);
$("logout").addEventListener("click", async () => {
  await call("POST", "/auth/logout").catch(() => {}); // signed out already, in another tab
  show("login", "You are signed out.");
});

home();
