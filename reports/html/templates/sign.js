"use strict";
// The only script of the page. It shows the form, and makes a file of what was chosen; nothing leaves the page.
(() => {
  const form = document.getElementById("sign-form");
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const rows = [];
    for (const part of form.querySelectorAll("fieldset")) {
      const id = part.dataset.line;
      const chosen = part.querySelector("input[type=radio]:checked");
      const comment = form.elements["comment-" + id].value;
      if (chosen) rows.push({ id, decision: chosen.value, comment });
    }
    const decided = {
      form: "phase3-signoff-form/1",
      session_sha256: form.dataset.session,
      by: form.elements.by.value,
      rows,
    };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(decided, null, 2) + "\n"], { type: "application/json" }));
    link.download = "phase3-signoff-form.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
