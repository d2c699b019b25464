// Sorting and filtering of tables that are there without it. The choice stands in the address.
(function () {
  "use strict";

  function cellText(row, index) {
    var cell = row.cells[index];
    return cell ? cell.textContent.trim() : "";
  }

  function numberIn(text) {
    var match = text.replace(/,/g, "").match(/^[-+]?\d+(\.\d+)?/);
    return match ? parseFloat(match[0]) : null;
  }

  function compare(a, b) {
    var first = numberIn(a), second = numberIn(b);
    if (first !== null && second !== null) { return first - second; }
    if ((a === "") !== (b === "")) { return a === "" ? 1 : -1; }
    return a.localeCompare(b);
  }

  function readChoice() {
    return new URLSearchParams(window.location.search);
  }

  function writeChoice(choice) {
    var query = choice.toString();
    var address = window.location.pathname + (query ? "?" + query : "") + window.location.hash;
    window.history.replaceState(null, "", address);
  }

  function setChoice(name, value) {
    var choice = readChoice();
    if (value) { choice.set(name, value); } else { choice.delete(name); }
    writeChoice(choice);
  }

  function sortBy(table, index, direction) {
    var body = table.tBodies[0];
    var rows = Array.prototype.slice.call(body.rows);
    var sign = direction === "descending" ? -1 : 1;
    rows.map(function (row, place) { return { row: row, place: place, key: cellText(row, index) }; })
      .sort(function (a, b) { return sign * compare(a.key, b.key) || a.place - b.place; })
      .forEach(function (item) { body.appendChild(item.row); });
    Array.prototype.forEach.call(table.tHead.rows[0].cells, function (head, place) {
      if (place === index) { head.setAttribute("aria-sort", direction); }
      else { head.removeAttribute("aria-sort"); }
    });
  }

  function makeSortable(table) {
    var heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
    heads.forEach(function (head, index) {
      var button = document.createElement("button");
      button.type = "button";
      button.className = "nc-sort";
      button.textContent = head.textContent;
      button.addEventListener("click", function () {
        var next = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        sortBy(table, index, next);
        setChoice("sort", (next === "descending" ? "-" : "") + index);
      });
      head.textContent = "";
      head.appendChild(button);
    });
    var wanted = (readChoice().get("sort") || "").match(/^(-?)(\d{1,2})$/);
    if (wanted && heads[wanted[2]]) {
      sortBy(table, Number(wanted[2]), wanted[1] ? "descending" : "ascending");
    }
  }

  // A filter is either a word of the row's data ("technique") or a column ("6:Verdict").
  function parseFilters(text) {
    return text.split(",").map(function (part) {
      var column = part.match(/^(\d+):(.+)$/);
      return column
        ? { name: column[2].toLowerCase(), title: column[2], column: Number(column[1]) }
        : { name: part, title: part.charAt(0).toUpperCase() + part.slice(1), column: null };
    });
  }

  function valuesOf(row, filter) {
    if (filter.column !== null) {
      var cell = row.cells[filter.column].cloneNode(true);
      Array.prototype.forEach.call(cell.querySelectorAll("[aria-hidden]"), function (mark) {
        mark.remove();
      });
      return [cell.textContent.trim()];
    }
    var data = row.querySelector("[data-" + filter.name + "]");
    return data ? data.getAttribute("data-" + filter.name).split(" ") : [];
  }

  function control(title, element) {
    var label = document.createElement("label");
    label.appendChild(document.createTextNode(title));
    label.appendChild(element);
    return label;
  }

  function makeFilter(table) {
    var rows = Array.prototype.slice.call(table.tBodies[0].rows);
    var filters = parseFilters(table.getAttribute("data-filter"));
    var bar = document.createElement("div");
    bar.className = "nc-filter";
    bar.setAttribute("role", "search");
    var status = document.createElement("output");
    var text = document.createElement("input");
    text.type = "search";
    text.value = readChoice().get("text") || "";

    filters.forEach(function (filter) {
      filter.values = rows.map(function (row) { return valuesOf(row, filter); });
      var options = Array.from(new Set([].concat.apply([], filter.values))).sort();
      filter.select = document.createElement("select");
      [""].concat(options).forEach(function (value) {
        var option = document.createElement("option");
        option.value = value;
        option.textContent = value.replace(/-/g, " ") || "all";
        filter.select.appendChild(option);
      });
      var wanted = readChoice().get(filter.name) || "";
      filter.select.value = options.indexOf(wanted) >= 0 ? wanted : "";
      bar.appendChild(control(filter.title, filter.select));
    });
    bar.appendChild(control("Text", text));
    bar.appendChild(status);
    var texts = rows.map(function (row) { return row.textContent.toLowerCase(); });

    function apply() {
      var shown = 0;
      var words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      rows.forEach(function (row, index) {
        var fits = filters.every(function (filter) {
          return !filter.select.value || filter.values[index].indexOf(filter.select.value) >= 0;
        }) && words.every(function (word) { return texts[index].indexOf(word) >= 0; });
        row.hidden = !fits;
        shown += fits ? 1 : 0;
      });
      status.textContent = shown + " of " + rows.length;
    }

    bar.addEventListener("input", function () {
      apply();
      filters.forEach(function (filter) { setChoice(filter.name, filter.select.value); });
      setChoice("text", text.value);
    });
    var box = table.closest(".nc-scroll");
    box.parentNode.insertBefore(bar, box);
    apply();
  }

  // The theme's copy button takes a text in place of the block's own: commands without prompts.
  document.addEventListener("click", function (event) {
    var button = event.target.closest && event.target.closest("[data-clipboard-target]");
    var code = button && document.querySelector(button.getAttribute("data-clipboard-target"));
    if (code && code.closest(".language-console, .console")) {
      button.setAttribute("data-clipboard-text", code.textContent.replace(/^\$ /gm, "").trim());
    }
  }, true);

  document.addEventListener("DOMContentLoaded", function () {
    Array.prototype.forEach.call(document.querySelectorAll("table[data-filter]"), makeFilter);
    Array.prototype.forEach.call(document.querySelectorAll("table[data-sortable]"), makeSortable);
  });
})();
