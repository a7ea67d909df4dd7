// Unfold sorts only rows that are saved; one that was just added can be dragged as well.
"use strict";
document.addEventListener("formset:added", (event) => {
  const row = event.target.closest(".form-group");
  if (row) row.classList.remove("template");
});
