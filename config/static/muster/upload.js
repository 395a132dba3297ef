// A file that is too large for one request goes in pieces, each from where the server says that it has come to.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("upload");
  if (!form) return;
  form.querySelector("input[type=file]").hasChangeListener = true;  // else unfold's looks for a field it would draw
  const progress = document.getElementById("upload-progress");
  const fault = document.getElementById("upload-fault");
  const button = form.querySelector("button[type=submit]");
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

  // A piece that came twice changes nothing, so whatever was not answered is sent again.
  const send = async (url, body) => {
    for (let seconds = 1; seconds < 60; seconds *= 2) {
      const answer = await fetch(url, { method: "POST", body, headers: { "X-CSRFToken": token } }).catch(() => null);
      if (answer && answer.redirected) break;  // signed out meanwhile
      if (answer && answer.ok) return answer.json();
      if (answer && answer.status < 500 && answer.status !== 429) {
        const problem = await answer.json().catch(() => ({}));
        throw new Error(problem.detail || form.dataset.lost);
      }
      await sleep(seconds);
    }
    throw new Error(form.dataset.lost);
  };

  const upload = async (file) => {
    const begun = await send(form.dataset.begin, new URLSearchParams({ name: file.name, size: file.size }));
    for (let at = 0; at < file.size;) {
      const piece = file.slice(at, at + Number(form.dataset.piece), "application/octet-stream");
      const last = at + piece.size === file.size ? "&last=on" : "";
      at = (await send(`${begun.pieces}?start=${at}${last}`, piece)).at;
      progress.value = 100 * at / file.size;
    }
    location.assign(begun.next);
  };

  form.addEventListener("submit", (event) => {
    const file = form.querySelector("input[type=file]").files[0];
    if (!file || file.size <= Number(form.dataset.whole)) return;
    event.preventDefault();
    button.disabled = true;
    progress.hidden = false;
    fault.textContent = "";
    upload(file).catch((error) => {
      fault.textContent = error.message;
      button.disabled = false;
      progress.hidden = true;
    });
  });
});
