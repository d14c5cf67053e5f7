import { addWords } from "../lib/words.js";

addWords({
  ru: {
    "mine.title": "Мои бронирования", "history.title": "История", "list.cancel": "Отменить", "list.cancelled": "Бронь отменена: {what}.", "list.nothing": "Здесь пока ничего нет.",
    "list.status.confirmed": "подтверждена", "list.status.cancelled": "отменена", "list.status.completed": "завершена", "list.status.released": "снята: не пришли",
  },
  en: {
    "mine.title": "My bookings", "history.title": "History", "list.cancel": "Cancel", "list.cancelled": "Cancelled: {what}.", "list.nothing": "Nothing here yet.",
    "list.status.confirmed": "confirmed", "list.status.cancelled": "cancelled", "list.status.completed": "completed", "list.status.released": "released: nobody came",
  },
});
