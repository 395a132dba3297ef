// The pages work without this. It shows a password on demand, tells of caps lock, and tidies a pasted code.
"use strict";

const words = document.currentScript.dataset; // in the language of the page

for (const input of document.querySelectorAll('input[type="password"]')) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = words.show;
  button.setAttribute("aria-controls", input.id);
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const isShown = input.type === "text";
    input.type = isShown ? "password" : "text";
    button.textContent = isShown ? words.show : words.hide;
    button.setAttribute("aria-pressed", String(!isShown));
  });
  input.after(button);
  input.form.addEventListener("submit", () => { input.type = "password"; });

  const hint = document.createElement("small");
  hint.setAttribute("role", "status");
  button.after(hint);
  input.addEventListener("keyup", (event) => {
    const isOn = event.getModifierState && event.getModifierState("CapsLock");
    hint.textContent = isOn ? words.caps : "";
  });
}

for (const input of document.querySelectorAll('input[autocomplete="one-time-code"]')) {
  input.addEventListener("input", () => {
    const digits = input.value.replace(/\D/g, "").slice(0, 6);
    if (digits !== input.value) input.value = digits;
  });
}
