// A change of what a phone does is answered at once; the answer is a page of its own, so the link can be sent on.
"use strict";
document.addEventListener("change", (event) => {
  const form = document.getElementById("simulator");
  if (form && event.target.closest(".cb-phones")) {
    form.requestSubmit();
  }
});
