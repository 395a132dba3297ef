// What unfold's pages need beside their own script, so that nothing in them is compiled from text (no 'unsafe-eval').
"use strict";

// Before anything is painted, or a dark page would flash white.
(() => {
  let chosen = "auto";
  try { chosen = JSON.parse(localStorage.getItem("_x_adminTheme")) || "auto"; } catch { /* never chosen */ }
  const isDark = chosen === "dark" || (chosen === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.classList.toggle("dark", isDark);
})();

document.addEventListener("alpine:init", () => {
  Alpine.data("theme", () => window.theme());
  Alpine.data("searchForm", () => window.searchForm());
  Alpine.data("shell", (tab) => ({
    activeTab: tab,
    sidebarMobileOpen: false,
    sidebarDesktopOpen: localStorage.getItem("sidebarDesktopOpen") !== "0",
    toggleSidebar() {
      if (matchMedia("(min-width: 80rem)").matches) {
        this.sidebarDesktopOpen = !this.sidebarDesktopOpen;
        localStorage.setItem("sidebarDesktopOpen", this.sidebarDesktopOpen ? "1" : "0");
      } else {
        this.sidebarMobileOpen = !this.sidebarMobileOpen;
      }
    },
  }));
});

// What answers to a click answers to the keyboard too, and has a name; icons are pictures, not words.
document.addEventListener("DOMContentLoaded", () => {
  for (const icon of document.querySelectorAll(".material-symbols-outlined")) {
    if (icon.hasAttribute("x-on:click") || icon.parentElement.hasAttribute("x-on:click")) {
      const target = icon.hasAttribute("x-on:click") ? icon : icon.parentElement;
      if (!target.textContent.replace(icon.textContent, "").trim() && !target.hasAttribute("aria-label")) {
        target.setAttribute("aria-label", target.title || icon.textContent.trim().replaceAll("_", " "));
      }
      if (target === icon) continue;
    }
    const link = icon.closest("a, button");
    if (link && link.textContent.trim() === icon.textContent.trim() && !link.title && !link.hasAttribute("aria-label")) {
      const site = document.getElementById("site-name");
      const typed = link.form && link.form.querySelector("input[placeholder]");
      link.setAttribute("aria-label", typed ? typed.placeholder : (site || document.head).textContent.trim().slice(0, 80));
    }
    icon.setAttribute("aria-hidden", "true");
  }
  for (const thing of document.querySelectorAll("[x-on\\:click]:not(button):not(input):not(a[href])")) {
    if (thing.id === "changelist-filter-close") continue;
    thing.tabIndex = 0;
    thing.setAttribute("role", "button");
    thing.addEventListener("keydown", (event) => {
      if (event.target === thing && (event.key === "Enter" || event.key === " ")) {
        event.preventDefault();
        thing.click();
      }
    });
  }
});

// A job's page looks again while the job is under way.
document.addEventListener("DOMContentLoaded", () => {
  const look = async () => {
    const job = document.getElementById("job");
    if (!job || !job.dataset.lookAgain) return;
    const answer = await fetch(location.href).catch(() => null);
    if (answer && answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("job");
      if (!fresh) return location.reload();  // signed out meanwhile
      if (!job.contains(document.activeElement)) job.replaceWith(fresh);
    }
    setTimeout(look, Number(job.dataset.lookAgain));
  };
  setTimeout(look, 1500);
});

// The colours follow the system's while nobody has chosen others.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
  const chosen = localStorage.getItem("_x_adminTheme");
  if (!chosen || JSON.parse(chosen) === "auto") document.documentElement.classList.toggle("dark", event.matches);
});
