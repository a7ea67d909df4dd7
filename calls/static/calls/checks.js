// Asks for a SIP OPTIONS and shows the answer beside the button, without leaving the page.
"use strict";
(() => {
  const show = (output, result) => {
    output.textContent = result.text;
    output.className = `cb-check-result cb-check-${result.tone}`;
  };

  const ask = async (url, options) => {
    const response = await fetch(url, { ...options, headers: { ...options.headers, Accept: "application/json" } });
    if (!response.ok) {
      throw new Error(`the server answered ${response.status}`);
    }
    return response.json();
  };

  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-check]");
    if (!form) {
      return;
    }
    event.preventDefault();
    const button = form.querySelector("button");
    const output = form.querySelector("output");
    button.disabled = true;
    try {
      let result = await ask(form.action, { method: "POST", body: new FormData(form) });
      show(output, result);
      while (!result.done) {
        await new Promise((resolve) => setTimeout(resolve, 400));
        result = await ask(form.action, {});
        show(output, result);
      }
    } catch (error) {
      show(output, { text: `The check could not be asked for: ${error.message}.`, tone: "bad" });
    } finally {
      button.disabled = false;
    }
  });
})();
