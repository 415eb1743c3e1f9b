"use strict";
// What the page is without this script it stays: tables are whole, and links work.
for (const table of document.querySelectorAll("table.grid")) {
  const large = table.classList.contains("large");
  const more = table.querySelector("th.more") !== null;
  const long = table.tBodies[0].rows.length > 50;
  const csv = { fieldSeparator: ",", fieldBoundary: '"', title: null, exportOptions: { columns: ":visible" } };
  const buttons = [
    ...(more || large ? [{ extend: "colvis", text: "Columns" }] : []),
    { extend: "copy", text: "Copy csv", ...csv, header: true, messageTop: null, messageBottom: null },
  ];
  const grid = new DataTable(table, {
    autoWidth: false,
    order: [],
    paging: long,
    pageLength: 50,
    lengthMenu: [25, 50, 100, { label: "all", value: -1 }],
    searching: large,
    info: long,
    columnDefs: [{ targets: "more", visible: false }],
    language: { search: "Filter", searchPlaceholder: "words of a row", lengthMenu: "_MENU_ rows" },
    layout: { topStart: large || more ? { buttons } : null, topEnd: large ? "search" : null,
      bottomStart: long ? ["info", "pageLength"] : null, bottomEnd: long ? "paging" : null },
  });
  table.closest(".scroll").removeAttribute("tabindex");
  table.closest(".dt-layout-table").tabIndex = 0; // what scrolls is reached by the keyboard
  if (long) {
    addEventListener("beforeprint", () => grid.page.len(-1).draw(false));
    addEventListener("afterprint", () => grid.page.len(50).draw(false));
  }
}
function reveal() {
  const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let fold = place && place.closest("details"); fold; fold = fold.parentElement.closest("details")) {
    fold.open = true;
  }
  if (place) place.scrollIntoView();
}
addEventListener("hashchange", reveal);
if (location.hash) reveal();
